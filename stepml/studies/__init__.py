"""Studies: grids of jobs over the same data, with baselines, in one table and one page.

::

    from stepml.client import Client, connect
    from stepml.studies.studying import Studying

    client = Client(connect("http://127.0.0.1:4566"))
    studying = Studying.of(Path("study.toml"), Path("runs/study")).on(client.stack)
    for row in studying.run(client):
        print(row.cell.words, row.result.seconds)
    studying.write()
"""

from __future__ import annotations
