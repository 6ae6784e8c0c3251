"""Mis Eventos: the backend that organisers run their events on."""
