"""The image: one Debian root filesystem that both walls share, built by mmdebstrap without a container engine."""
