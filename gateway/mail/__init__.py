"""Pure: bytes and values in, values out. No clock, file, socket, process or log (tests/test_house.py sees to it)."""
