//! Every case gives one digest: cold and warm, from touched and copied files, at another time, elsewhere, by others.
