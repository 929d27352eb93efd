from sim import *
from tests.unit.ml.test_choices import correlated
import stepml.ml.choices.start as ST, stepml.ml.algorithms.admm as A
from benchmarks.default_sets import SETS
Xc,yc=correlated()
S=SETS['l1'](); X=std(S.X); y=S.y
L=SETS['large'](); XL=std(L.X)[:40000]; yL=L.y[:40000]

for share in ("now",):
    
    for X_,y_,l,s,lab in [(Xc,yc,.003,3000,'corr'),(Xc,yc,.0003,3000,'corr'),(Xc,yc,.03,3000,'corr'),(X,y,.01,6000,'l1'),(X,y,.001,6000,'l1'),(XL,yL,.003,20000,'large')]:
        r=sim(X_,y_,{"name":"logistic_regression","l1":l},"admm",label=f'{share} {lab}',sample_rows=s)
        print('    ',[f"{o[1]:.5f}" for o in r['objs'][:50:2]])
