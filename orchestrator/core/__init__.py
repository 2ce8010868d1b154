"""The pure core: values and decisions. It imports no Kafka, Ansible, SSH, clock or web."""
