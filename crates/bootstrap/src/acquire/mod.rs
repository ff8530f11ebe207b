//! From a signed Release file to verified packages in the cache.
