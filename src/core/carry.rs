//! How a shard goes on in another process where it stopped in this one: what it holds as bytes,
//! and those bytes read again.
//!
//! What is made of the seed, of the configuration or of the sockets is not among the bytes: the
//! new process is given the same ones, and makes it again. So keys, hashers and ciphers stay as
//! they are made, and only what happened since is written: plain values by `postcard`, one
//! behind the other in the order of the fields, and for every table the values in it, from which
//! it is built anew. Each type that has parts of both kinds says so with `carried!`, and a
//! field that is not named there does not compile.
//!
//! The bytes have no names in them: a process reads those of its own [`VERSION`] and refuses
//! others. Whoever changes what is carried, or what a hash over it is made of, raises it.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the bytes that this program writes, and the only one that it reads.
pub const VERSION: u32 = 4;

/// Why written state cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of a shard is not what this program writes")]
pub struct Unreadable;

/// What holds something that is to go on in another process.
pub(crate) trait Carried {
    /// Writes what it holds.
    fn write(&self, out: &mut Writer);

    /// Replaces what it holds, in one that was just made by the same seed and settings.
    ///
    /// # Errors
    /// When the bytes are others. Then it is of no use any more.
    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable>;
}

/// Takes up what is carried.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    has_failed: bool,
}

impl Writer {
    /// Writes a value that is data and nothing else.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        match postcard::to_extend(value, std::mem::take(&mut self.bytes)) {
            Ok(bytes) => self.bytes = bytes,
            Err(_no_length) => self.has_failed = true,
        }
    }

    /// All that was written.
    ///
    /// # Errors
    /// When a value cannot be written at all.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Unreadable> {
        (!self.has_failed).then_some(self.bytes).ok_or(Unreadable)
    }
}

/// Gives back what was carried.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over what a `Writer` has written.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next value. The buffers in it are nobody's until `bytes::Pool::adopt`.
    ///
    /// # Errors
    /// When something else stands there.
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Result<T, Unreadable> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|_other| Unreadable)?;
        self.rest = rest;
        Ok(value)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub(crate) fn finish(self) -> Result<(), Unreadable> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }
}

impl<K, V, S> Carried for HashMap<K, V, S>
where
    K: Serialize + DeserializeOwned + Eq + Hash,
    V: Serialize + DeserializeOwned,
    S: BuildHasher,
{
    fn write(&self, out: &mut Writer) {
        out.value(&self.len());
        self.iter().for_each(|pair| out.value(&pair));
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.clear();
        let len: usize = input.value()?;
        for _ in 0..len {
            let (key, value) = input.value()?;
            self.insert(key, value);
        }
        Ok(())
    }
}

/// Says what of a type is carried: `parts` are [`Carried`] themselves, `values` are data,
/// `made` is left as the new one has it, and `then` is what builds its tables anew.
macro_rules! carried {
    ($of:ty {
        $(parts: $($part:ident),+;)?
        $(values: $($value:ident),+;)?
        $(made: $($made:ident),+;)?
        $(then: $then:ident;)?
    }) => {
        impl $crate::carry::Carried for $of {
            fn write(&self, out: &mut $crate::carry::Writer) {
                let Self { $($($part,)+)? $($($value,)+)? $($($made: _,)+)? } = self;
                $($($crate::carry::Carried::write($part, out);)+)?
                $($(out.value($value);)+)?
            }

            fn read(
                &mut self,
                input: &mut $crate::carry::Reader<'_>,
            ) -> Result<(), $crate::carry::Unreadable> {
                let Self { $($($part,)+)? $($($value,)+)? $($($made: _,)+)? } = self;
                $($($crate::carry::Carried::read($part, input)?;)+)?
                $($(*$value = input.value()?;)+)?
                $(self.$then();)?
                Ok(())
            }
        }
    };
}

pub(crate) use carried;

/// A table of fixed size that is mostly empty, or was not made yet: the entries that are in use.
impl<T, const WAYS: usize> Carried for Box<[[T; WAYS]]>
where
    T: Copy + Default + PartialEq + Serialize + DeserializeOwned,
{
    fn write(&self, out: &mut Writer) {
        let free = T::default();
        let all = self.iter().flatten().enumerate();
        let used: Vec<_> = all.filter(|(_, entry)| **entry != free).collect();
        out.value(&(self.len(), used.len()));
        used.iter().for_each(|entry| out.value(entry));
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        let (len, used): (usize, usize) = input.value()?;
        *self = vec![[T::default(); WAYS]; len].into();
        for _ in 0..used {
            let (index, entry): (usize, T) = input.value()?;
            let place = self.get_mut(index / WAYS).map(|set| &mut set[index % WAYS]);
            *place.ok_or(Unreadable)? = entry;
        }
        Ok(())
    }
}
