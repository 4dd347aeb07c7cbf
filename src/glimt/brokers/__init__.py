"""How services talk: memory, SQLite and RabbitMQ behind one contract."""
