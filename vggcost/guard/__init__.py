"""The numbers of a project, guarded: a baseline, limits, and what is said when they are passed. Without torch."""

from vggcost.guard.baseline import Baseline, Entry, dump_baseline, is_baseline, read_baseline, update_baseline
from vggcost.guard.check import Cause, Checked, Verdict, accept_command, broken, check_model, status_of
from vggcost.guard.config import BASELINE, Project, Spec, read_project
from vggcost.guard.limits import METRICS, Limit, Tolerance, limits_of, read_limit, read_limits
from vggcost.guard.render import CHECK_FORMATS, render_check
from vggcost.guard.words import failure_text

__all__ = [
    "BASELINE",
    "CHECK_FORMATS",
    "METRICS",
    "Baseline",
    "Cause",
    "Checked",
    "Entry",
    "Limit",
    "Project",
    "Spec",
    "Tolerance",
    "Verdict",
    "accept_command",
    "broken",
    "check_model",
    "dump_baseline",
    "failure_text",
    "is_baseline",
    "limits_of",
    "read_baseline",
    "read_limit",
    "read_limits",
    "read_project",
    "render_check",
    "status_of",
    "update_baseline",
]
