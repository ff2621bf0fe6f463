"""PostgreSQL: the connection pool, the migrations, and a server of our own when none is given."""
