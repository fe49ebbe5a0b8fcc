"""HTTP for clients and operators: the only home of Litestar."""
