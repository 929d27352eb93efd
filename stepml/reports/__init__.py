"""Reports on runs: their data for tables and plots, charts, and pages of HTML.

::

    from stepml.client import Client, connect
    from stepml.reports import RunRecord

    client = Client(connect("http://127.0.0.1:4566"))
    record = RunRecord.of_job(client, client.execution("my-run"))
    print(record.status, [report.loss for report in record.epochs])
"""

from stepml.reports.comparison import Comparison, compare
from stepml.reports.run_record import RunRecord

__all__ = ["Comparison", "RunRecord", "compare"]
