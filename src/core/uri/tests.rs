//! Reading, comparing and filing, each by example and against a plain reading.

mod equality;
mod parsing;
mod taking_apart;
