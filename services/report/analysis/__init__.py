"""The embedded analyser: rules over sentences, English and Russian, without downloads; same input, same output."""
