"""One module a numbered step of the audit: `collect(step, …)` gives the step's part of the audit, or None."""
