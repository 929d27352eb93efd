from sim import *
from tests.unit.ml.test_choices import correlated, begun, trained, cancer
X,y=correlated()
for start in ('sample','zero'):
    for l in (.003,.0003,.03):
        r=sim(X,y,{"name":"logistic_regression","l1":l},"admm",label='corr '+start,sample_rows=3000,fields={'start':start})
        print('    ',[f"{o[1]:.5f}" for o in r['objs'][:50]])
