"""Carrying decisions out: Ansible runs and the transaction around them."""
