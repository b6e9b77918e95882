"""Study: which detectors find labels that were planted wrong."""
