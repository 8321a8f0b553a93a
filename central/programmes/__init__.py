"""Programmes: a wallet each, shared by banners or a banner's own."""
