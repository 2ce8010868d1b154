"""The inventory, the only thing a user edits: read through Ansible, validated as a whole."""

from orchestrator.errors import InventoryInvalid, Problem
from orchestrator.inventory.connection import Connection
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.inventory.model import Inventory
from orchestrator.inventory.reading import read

__all__ = ["Connection", "Inventory", "InventoryInvalid", "KafkaSettings", "Problem", "read"]
