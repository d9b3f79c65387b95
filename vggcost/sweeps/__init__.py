"""Many models: jobs, workers that may hang or die, and results that outlive a kill."""

from vggcost.sweeps.jobs import MODES, Job, jobs_of, models_of
from vggcost.sweeps.rows import COLUMNS, Row
from vggcost.sweeps.run import Tally, run_jobs
from vggcost.sweeps.store import FORMS, Store, read_rows
from vggcost.sweeps.watch import Limits, resident_bytes

__all__ = [
    "COLUMNS",
    "FORMS",
    "MODES",
    "Job",
    "Limits",
    "Row",
    "Store",
    "Tally",
    "jobs_of",
    "models_of",
    "read_rows",
    "resident_bytes",
    "run_jobs",
]
