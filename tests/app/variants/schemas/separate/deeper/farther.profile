rank-profile farther inherits here {
    rank-profile inside inherits farther { second-phase { expression: basis } }
}
