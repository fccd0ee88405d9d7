"""What people see: reports, progress, and the screen they are shown on."""
