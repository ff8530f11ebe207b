//! System calls, namespaces, ID maps and rooted paths: the only unsafe code.
