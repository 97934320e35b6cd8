"""Many documents, and many ends at the wrong moment: what is left afterwards is what was there before."""
