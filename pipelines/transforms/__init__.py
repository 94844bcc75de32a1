"""Pure computation by subject: frames or plain values in, frames or plain values out. No IO, no clock of its own."""
