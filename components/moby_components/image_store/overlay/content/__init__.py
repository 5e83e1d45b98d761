"""What is on the disk: blobs by digest, the index that says what they are, and the bin."""
