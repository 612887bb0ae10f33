"""What a signed document of rules says, and how it becomes an image. Pure: no clock, no files, no network."""
