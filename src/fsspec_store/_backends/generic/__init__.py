"""The backend for every fsspec filesystem without a native backend, and for caching layers."""
