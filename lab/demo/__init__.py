"""The main job, told live: an overload makes the orchestrator start one more consumer."""
