"""The only room with mail sockets."""
