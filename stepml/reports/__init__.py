"""Reports on runs: their data for tables and plots, charts, and pages of HTML.

::

    record = RunRecord.of_directory(Path("runs/my-run"))
    print(record.status, [report.loss for report in record.epochs])
"""

from stepml.reports.comparison import Comparison, compare
from stepml.reports.run_record import RunRecord

__all__ = ["Comparison", "RunRecord", "compare"]
