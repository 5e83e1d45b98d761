"""Directory trees that somebody else wrote: packed, unpacked, copied and measured by descriptors."""
