"""The measurements of scripts/bench: what is measured, who runs it, what the goals are, and the report."""
