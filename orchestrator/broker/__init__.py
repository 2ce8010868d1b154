"""The Kafka shells: looking at offsets and groups, reading reports, keeping the ledger."""
