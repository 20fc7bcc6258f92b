"""A batch of documents gives what its documents give one by one."""

from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.rank.algebra import DOCUMENTS, visible_type
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.result_types import ResultTypes
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

SIZE = 5
TYPES = {
    "n": "double",
    "m": "double",
    "d": "tensor<float>(x[3])",
    "d2": "tensor(x[3],y[2])",
    "s": "tensor<float>(k{})",
    "s2": "tensor(k{},l{})",
    "q": "tensor<float>(k{},x[3])",
    "i": "tensor<int8>(k{},x[3])",
    "i1": "tensor<int8>(x[3])",
}
EXPRESSIONS = """
n
n+m*2
d*n
d+d2
s*s2
q*s
q*d
q*i
sum(q*d,x)
max(sum(q*d,x),k)
sum(max(sum(q*d,x),k))
reduce(q,avg,k)
reduce(q,median,x)
reduce(s2,prod,l)
reduce(s,count)
reduce(s,max)
map(q,f(x)(x*2+1))
map(q,f(x)(if(x>0,x,-x)))
join(q,d,f(a,b)(a*b-1))
merge(s,s*2,f(a,b)(a+b))
merge(s,s2{l:"1"},f(a,b)(a-b))
merge(d,d,f(a,b)(a*b))
merge(s,tensor(k{}):{a:1,1:7},f(a,b)(a+b))
concat(d,d,x)
concat(n,m,z)
concat(q,d,x)
concat(s,q,x)
concat(q,n,z)
rename(q,k,a)
rename(q,(k,x),(x,k))
rename(d2,(x,y),(y,x))
cell_cast(q,bfloat16)
cell_cast(q,int8)
unpack_bits(i)
unpack_bits(i,int8,little)
unpack_bits(i1)
q{k:1}
q{k:(n)}
q{x:1}
q{x:(n)}
q{k:(n),x:(m)}
q{k:1,x:(m)}
d[1]
d[n]
d{x:(n)}
s{"1"}
s{k:(n)}
s2{k:(n)}
sum(s2{k:(n)})
tensor(x[3])(x+n)
tensor(x[3])(d{x:(x)}*2)
tensor(x[3],y[2])(d{x:(x)}+y*n)
tensor(j[3])(sum(s2{k:(j)}))
tensor(j[3])(reduce(s2{k:(j)},max))
tensor(j[3])(reduce(q{k:(j)},avg))
tensor(j[4])(s{k:(j)})
tensor(j[2])(sum(tensor(j[3])(j*n)))
tensor(j[2])(sum(tensor(i[3])(j*n+i)))
tensor(j[2])(sum(map(d,f(x)(x+1))*j))
tensor(x{},y[2]):{a:[n,m],b:[1,n*2]}
tensor(x[2]):[n,1]
tensor(x{}):{a:n,b:3}
map_subspaces(q,f(a)(a*3+2))
map_subspaces(q,f(a)(sum(a)))
map_subspaces(q,f(a)(tensor(z[2])(a{x:(z)}*2)))
map_subspaces(q,f(a)(tensor(z[2])(sum(a)+z)))
map_subspaces(q,f(a)(tensor(z[2]):[1,2]))
map_subspaces(q,f(a)(5))
map_subspaces(s,f(a)(a+1))
map_subspaces(s,f(a)(tensor(z[2])(a*z)))
map_subspaces(d,f(a)(sum(a)))
map_subspaces(n,f(a)(a+1))
map_subspaces(q,f(a)(if(a{x:0}>0,1,2)))
map_subspaces(q,f(a)(if(a{x:0}>0,a,a*2)))
map_subspaces(q,f(a)(sum(map_subspaces(a,f(b)(b+1)))))
map_subspaces(q,f(a)(concat(a,1,x)))
map_subspaces(q,f(a)(rename(a,x,y)))
map_subspaces(q,f(a)(cell_order(a,max)))
map_subspaces(q,f(a)(reduce(a,median)))
map_subspaces(q,f(a)(sum(merge(a,a*2,f(p,r)(p+r)))))
map_subspaces(q,f(a)(sum(tensor(z{}):{0:1,1:2}{z:(a{x:0})})))
map_subspaces(q,f(a)(reduce(tensor(z{},w{}):{{z:0,w:a}:1,{z:1,w:b}:2}{z:(a{x:0})},count)))
filter_subspaces(q,f(a)(sum(a)>0))
filter_subspaces(s,f(a)(a>0))
filter_subspaces(q,f(a)(a))
sum(filter_subspaces(q,f(a)(a{x:1}>0)))
cell_order(q,max)
cell_order(s,min)
cell_order(d,max)
cell_order(n,max)
top(2,s)
top(n,s2)
sum(top(2,s))
if(n>0,n,m)
if(n>0,s,s*2)
if(n>0,cell_cast(q,bfloat16),cell_cast(q*2,bfloat16))
if(n>0,d,d*2)
if(n>0,tensor(x[2]):[1,2],tensor(x[2]):[3,4])
if(1,d,d)
switch(n){case 1: 10, case 2: m, default: 5}
n in [1,2]
q in [1,2]
!q
-q
matmul(q,d,x)
softmax(q,x)
softmax(s,k)
l1_normalize(q,k)
l2_normalize(d,x)
cosine_similarity(q,d,x)
euclidean_distance(q,d,x)
argmax(q)
argmax(q,k)
argmin(s)
argmin(d,x)
expand(q,z)
expand(n,z)
xw_plus_b(d,d2,tensor(y[2]):[1,2],x)
range(x[3])*d
diag(x[3],y[2])*d2
hamming(i,i1)
sum(hamming(i,i1),x)
bit(n,m)
n~=m
d2*tensor(x{}):{a:1}{x:a}
reduce(q*tensor(x[3]):[1,2,3],sum,x)
n % m
pow(q,2)
""".strip().split("\n")


def made(kind: TensorType, random: np.random.Generator) -> Tensor:
    """Return a tensor of small whole numbers; a mapped one may have no cell."""
    if not kind.mapped:
        return Tensor.dense(kind, random.integers(-3, 4, kind.shape))
    addresses = [
        tuple(str(random.integers(0, 3)) for _ in kind.mapped) for _ in range(random.integers(0, 4))
    ]
    return Tensor.from_subspaces(
        kind, {each: random.integers(-3, 4, kind.shape) for each in addresses}
    )


def together(tensors: list[Tensor]) -> Tensor:
    """Return the tensors of documents as one of a batch."""
    kind = tensors[0].type
    cells = CellType.DOUBLE if kind.is_number else kind.cell_type
    wide = TensorType(cells, (Dimension(DOCUMENTS), *kind.dimensions))
    found = Tensor.from_subspaces(
        wide,
        {
            (str(document), *address): block
            for document, tensor in enumerate(tensors)
            for address, block in tensor.subspaces().items()
        },
    )
    codes = found.codes.copy()
    codes[:, 0] = [int(found.labels[0][code]) for code in codes[:, 0]]
    labels = (tuple(map(str, range(len(tensors)))), *found.labels[1:])
    return Tensor(wide, codes, labels, found.values)


def apart(tensor: Tensor, kind: TensorType) -> list[Tensor]:
    """Return the tensor of each document."""
    if tensor.type.dimension(DOCUMENTS) is None:
        return [tensor] * SIZE
    blocks: list[dict[tuple[str, ...], object]] = [{} for _ in range(SIZE)]
    for address, block in tensor.subspaces().items():
        blocks[int(address[0])][address[1:]] = block
    return [Tensor.from_subspaces(kind, each) for each in blocks]


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_a_batch_is_its_documents_one_by_one(source: str) -> None:
    random = np.random.default_rng(3)
    node = parse_expression(source)
    for _ in range(4):
        documents = [
            {name: made(TensorType.parse(kind), random) for name, kind in TYPES.items()}
            for _ in range(SIZE)
        ]
        kind = ResultTypes(lambda name: TensorType.parse(TYPES[name])).of(node)
        alone = [Evaluation(each.get, 0).value(node, {}) for each in documents]
        wide = {name: together([each[name] for each in documents]) for name in TYPES}
        batch = Evaluation(wide.get, SIZE).value(node, {})

        assert visible_type(batch.type) == kind
        assert apart(batch, kind) == alone


def test_a_batch_of_no_documents_has_the_types_of_one() -> None:
    nothing = {}
    for name, text in TYPES.items():
        kind = TensorType.parse(text)
        wide = TensorType(kind.cell_type, (Dimension(DOCUMENTS), *kind.dimensions))
        nothing[name] = Tensor.empty(wide)
    for source in EXPRESSIONS:
        node = parse_expression(source)
        kind = ResultTypes(lambda name: TensorType.parse(TYPES[name])).of(node)
        found = Evaluation(nothing.get, 0).value(node, {})

        assert visible_type(found.type) == kind, source
