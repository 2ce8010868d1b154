"""Real-time incident detection on short messages: crawler ► analyzer ► alerts."""
