"""The master: watches the throughput of FogVerse services and starts consumers on fog devices."""
