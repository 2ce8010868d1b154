"""What benchmarks/fleet_deploy.py is made of: the devices, the contenders, the clock and the memory."""
