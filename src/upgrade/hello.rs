//! What a new program says of itself first, in lines that every version can read.

use std::fmt;

use crate::carry;

/// The greeting of a program that could go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its version, for people.
    pub version: String,
    /// The versions of written state that it reads.
    pub reads: (u32, u32),
    /// Shards of its configuration.
    pub shards: usize,
    /// The digest of its configuration.
    pub digest: String,
}

impl Hello {
    /// That of this program, with its configuration.
    #[must_use]
    pub fn own(shards: usize, digest: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reads: (carry::VERSION, carry::VERSION),
            shards,
            digest: digest.to_owned(),
        }
    }

    /// Reads one; `None`: it is none. What a later version adds is passed over.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("hello\n")?;
        let value = |name: &str| {
            let mut lines = rest.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let (first, last) = value("state")?.split_once(' ')?;
        Some(Self {
            version: value("version")?.to_owned(),
            reads: (first.parse().ok()?, last.parse().ok()?),
            shards: value("shards")?.parse().ok()?,
            digest: value("digest")?.to_owned(),
        })
    }

    /// Why this program cannot go on for one with so many shards and this configuration.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn fits(&self, shards: usize, digest: &str) -> Result<(), String> {
        let (first, last) = self.reads;
        let version = &self.version;
        let ours = carry::VERSION;
        if ours < first || ours > last {
            let which = if ours < first { "new" } else { "old" };
            return Err(format!(
                "version {version} is too {which} to go on with the state of this node, which \
                 writes it in layout {ours} while that one reads {first} to {last}: drain instead, \
                 and start it when this node has ended"
            ));
        }
        if digest != self.digest {
            return Err(
                "the configuration file is not what this node goes by: run `steadfast reload` \
                 first, and what waits for a restart has to wait for one"
                    .to_owned(),
            );
        }
        if shards != self.shards {
            return Err(format!(
                "it would have {} shards and this node has {shards}: restart it instead",
                self.shards
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.reads;
        write!(
            out,
            "hello\nversion {}\nstate {first} {last}\nshards {}\ndigest {}\n",
            self.version, self.shards, self.digest
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_again_and_what_is_new_in_it_passed_over() {
        let own = Hello::own(2, "ab12");
        let text = own.to_string();
        assert_eq!(Hello::read(&format!("{text}mood good\n")), Some(own));
        assert_eq!(Hello::read("usage: steadfast"), None);
        assert_eq!(Hello::read("hello\nversion 9\nstate x 1\n"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let own = Hello::own(2, "ab12");
        assert_eq!(own.fits(2, "ab12"), Ok(()));
        let with = |first, last| Hello {
            reads: (first, last),
            ..own.clone()
        };
        let ours = carry::VERSION;
        let too = |hello: Hello| hello.fits(2, "ab12").unwrap_err();
        assert!(too(with(ours + 1, ours + 3)).contains("too new"));
        assert!(too(with(0, ours - 1)).contains("too old"));
        assert!(too(with(ours + 1, ours + 3)).contains("drain instead"));
        let sentence = own.fits(2, "cd34").unwrap_err();
        assert!(sentence.contains("steadfast reload"), "{sentence}");
        let sentence = own.fits(3, "ab12").unwrap_err();
        assert!(sentence.contains("2 shards"), "{sentence}");
    }
}
