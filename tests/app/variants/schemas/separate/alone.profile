rank-profile alone {
    function basis() {
        expression: attribute(a) * 10
    }
}
