"""What ``orchestrator check`` looks at: each look gives lines, and each line that is not well gives its mend."""
