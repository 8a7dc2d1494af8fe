"""Many scenes are classified into one folder: jobs, ledger, STAC catalogue, reports."""
