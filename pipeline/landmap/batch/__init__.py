"""Many scenes are classified: jobs, ledger, catalogue, report."""
