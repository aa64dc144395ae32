//! `-1` to `-9`, `--fast` and `--best`: one value, given as a flag.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::codec::Level;

/// What the help says of them, which lists them in one line.
const HEADING: &str = "Levels -1..-9 [default: -6]";

/// What each level does.
pub(super) const HELP: &str = "Levels, from fast to small, each with what the one before it does:\n  \
    -1          zstd alone and quickly, in chunks of 256K\n  \
    -2, -3      context mixing where it makes a chunk 3 % smaller; 0.2 % smaller\n  \
    -4, -5      the small model where it makes a chunk 5 % smaller than that; 1 %\n  \
    -6          the model where it makes a chunk 1 % smaller\n  \
    -7, -8, -9  where it makes a chunk any smaller, and larger chunks: 128K; 256K; 1M\n\n\
    Up to -3 no model is needed, then or later. What a level allows costs time when reading, too.";

/// The flags, by the names of their long forms where they have one.
const FLAGS: [(&str, Option<char>, u8); 11] = [
    ("level-1", Some('1'), 1),
    ("level-2", Some('2'), 2),
    ("level-3", Some('3'), 3),
    ("level-4", Some('4'), 4),
    ("level-5", Some('5'), 5),
    ("level-6", Some('6'), 6),
    ("level-7", Some('7'), 7),
    ("level-8", Some('8'), 8),
    ("level-9", Some('9'), 9),
    ("fast", None, Level::FAST.get()),
    ("best", None, Level::BEST.get()),
];

/// The level that the last of the flags names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LevelFlags(pub(super) Level);

impl Args for LevelFlags {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, &(name, short, number)| {
            let others = FLAGS.iter().map(|(other, ..)| *other).filter(|other| *other != name);
            let flag = Arg::new(name).action(ArgAction::SetTrue).overrides_with_all(others).help_heading(HEADING);
            command.arg(match short {
                Some(short) => flag.short(short).hide(true).help(format!("Level {number}")),
                None => flag.long(name).help(format!("The same as -{number}")),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LevelFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = FLAGS.iter().find(|(name, ..)| matches.get_flag(name));
        Ok(Self(given.and_then(|&(.., number)| Level::new(number)).unwrap_or_default()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(line: &str) -> u8 {
        let command = LevelFlags::augment_args(Command::new("lma").args_override_self(true));
        let matches = command.try_get_matches_from(format!("lma {line}").split_whitespace()).unwrap();
        LevelFlags::from_arg_matches(&matches).unwrap().0.get()
    }

    #[test]
    fn the_last_flag_wins() {
        assert_eq!(level(""), 6);
        (1..=9).for_each(|number| assert_eq!(level(&format!("-{number}")), number));
        assert_eq!((level("--fast"), level("--best")), (4, 9));
        assert_eq!((level("-1 -9"), level("-91"), level("-4 -4"), level("-2 -5 -2")), (9, 1, 4, 2));
        assert_eq!((level("--best -1"), level("-1 --best"), level("--best --fast")), (1, 9, 4));
    }
}
