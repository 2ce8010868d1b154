"""What the master asks of devices over SSH, without Ansible."""
