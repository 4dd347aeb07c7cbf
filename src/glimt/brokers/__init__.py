"""How services talk: memory, SQLite and RabbitMQ behind one contract. Its first issue is still open."""
