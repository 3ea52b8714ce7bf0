"""The backend for every fsspec filesystem without a backend of its own, and for caching layers."""
