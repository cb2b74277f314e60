//! From text to [`Selector`].

use std::collections::BTreeSet;

use super::Selector;
use crate::{LabelKey, LabelValue};

/// Most characters of a selector.
const MAX_LEN: usize = 4096;
/// Most levels of parentheses and `!`.
const MAX_DEPTH: usize = 32;

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// There is something wrong in it.
    #[error("selector {text:?}: at character {at}: {why}")]
    Syntax {
        /// The whole text.
        text: String,
        /// Which character, from 1.
        at: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// It is too long.
    #[error("selector of {0} characters: must be at most {MAX_LEN} characters long")]
    Long(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    /// One of `( ) { } , ! && || == !=`.
    Sign(&'static str),
}

const SIGNS: [&str; 10] = ["&&", "||", "==", "!=", "(", ")", "{", "}", ",", "!"];

/// What is wrong, and at which character from 0.
type Wrong = (usize, String);

pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    let length = text.chars().count();
    if length > MAX_LEN {
        return Err(SelectorError::Long(length));
    }
    read(text, length).map_err(|(at, why)| SelectorError::Syntax { text: text.into(), at: at + 1, why })
}

fn read(text: &str, length: usize) -> Result<Selector, Wrong> {
    let mut reader = Reader { tokens: tokens(text)?, next: 0, end: length, depth: 0 };
    let selector = reader.or()?;
    match reader.peek() {
        None => Ok(selector),
        Some(token) => {
            Err((reader.at(), format!("{} is one too many; must be &&, || or the end", shown(token))))
        }
    }
}

/// All tokens, each with its place.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    let is_word = |char: char| char.is_ascii_alphanumeric() || "_./-".contains(char);
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&first) = chars.get(at) {
        let start = at;
        let run = |from: usize, more: &dyn Fn(char) -> bool| {
            chars[from..].iter().copied().take_while(|char| more(*char)).collect::<String>()
        };
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        let sign =
            SIGNS.into_iter().find(|sign| sign.chars().eq(chars[at..].iter().copied().take(sign.len())));
        let token = if is_word(first) {
            let word = run(at, &is_word);
            at += word.chars().count();
            Token::Word(word)
        } else if first == '"' || first == '\'' {
            let inner = run(at + 1, &|char| char != first);
            at += inner.chars().count() + 2;
            if at > chars.len() {
                return Err((start, format!("this text does not end; must be closed with {first}")));
            }
            Token::Text(inner)
        } else if let Some(sign) = sign {
            at += sign.len();
            Token::Sign(sign)
        } else {
            let why = match first {
                '=' => "\"=\" is no operator; must be ==, !=, in or not in".into(),
                '&' => "\"&\" is no operator; must be &&".into(),
                '|' => "\"|\" is no operator; must be ||".into(),
                other => format!("{other:?} has no meaning here"),
            };
            return Err((start, why));
        };
        tokens.push((start, token));
    }
    Ok(tokens)
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Text(text) => format!("{text:?}"),
        Token::Sign(sign) => format!("{sign:?}"),
    }
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// Characters of the text.
    end: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    /// Where the next token is.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn is_sign(&self, ahead: usize, sign: &str) -> bool {
        matches!(self.tokens.get(self.next + ahead), Some((_, Token::Sign(own))) if *own == sign)
    }

    /// Passes over a sign, if it is the next token.
    fn takes(&mut self, sign: &str) -> bool {
        let takes = self.is_sign(0, sign);
        self.next += usize::from(takes);
        takes
    }

    /// What is wrong with the next token: `why`, or that there is none.
    fn wrong<T>(&self, right: &str, why: impl FnOnce(&Token) -> String) -> Result<T, Wrong> {
        let why = self.peek().map_or_else(|| format!("the selector ends; must go on with {right}"), why);
        Err((self.at(), why))
    }

    fn or(&mut self) -> Result<Selector, Wrong> {
        let mut any = vec![self.and()?];
        while self.takes("||") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Selector::Or(any) })
    }

    fn and(&mut self) -> Result<Selector, Wrong> {
        let mut all = vec![self.unary()?];
        while self.takes("&&") {
            all.push(self.unary()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selector::And(all) })
    }

    fn unary(&mut self) -> Result<Selector, Wrong> {
        let at = self.at();
        if self.depth == MAX_DEPTH {
            return Err((at, format!("there are more than {MAX_DEPTH} levels of parentheses")));
        }
        self.depth += 1;
        let selector = if self.takes("!") {
            Selector::Not(Box::new(self.unary()?))
        } else if self.takes("(") {
            let inner = self.or()?;
            if !self.takes(")") {
                return self.wrong("&&, || or )", |token| {
                    format!("{} is one too many; must be &&, || or )", shown(token))
                });
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(selector)
    }

    fn test(&mut self) -> Result<Selector, Wrong> {
        const RIGHT: &str = "a label, has(…), all(), ! or (";
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return self.wrong(RIGHT, |token| format!("{} begins nothing; must be {RIGHT}", shown(token)));
        };
        let at = self.at();
        self.next += 1;
        if word == "all" && self.is_sign(0, "(") {
            self.next += 1;
            return if self.takes(")") {
                Ok(Selector::All)
            } else {
                Err((self.at(), "must be ), as in all()".into()))
            };
        }
        if word == "has" && self.takes("(") {
            let Some(Token::Word(key)) = self.peek().cloned() else {
                return Err((self.at(), "must be a label's key, as in has(role)".into()));
            };
            let key = name(&key, self.at())?;
            self.next += 1;
            return if self.takes(")") {
                Ok(Selector::Has(key))
            } else {
                Err((self.at(), "must be ), as in has(role)".into()))
            };
        }
        let key: LabelKey = name(&word, at)?;
        if self.takes("==") {
            return Ok(Selector::Is(key, self.value()?));
        }
        if self.takes("!=") {
            return Ok(Selector::Not(Box::new(Selector::Is(key, self.value()?))));
        }
        let Some(Token::Word(operator)) = self.peek().cloned() else { return self.no_operator() };
        match operator.as_str() {
            "in" => {
                self.next += 1;
                Ok(Selector::In(key, self.values()?))
            }
            "not" => {
                self.next += 1;
                if !matches!(self.peek(), Some(Token::Word(word)) if word == "in") {
                    return Err((self.at(), format!("must be in, as in {key} not in {{\"a\", \"b\"}}")));
                }
                self.next += 1;
                Ok(Selector::Not(Box::new(Selector::In(key, self.values()?))))
            }
            _ => self.no_operator(),
        }
    }

    fn no_operator<T>(&self) -> Result<T, Wrong> {
        const RIGHT: &str = "==, !=, in or not in";
        self.wrong(RIGHT, |token| format!("{} is no operator; must be {RIGHT}", shown(token)))
    }

    fn value(&mut self) -> Result<LabelValue, Wrong> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let value = name(text, self.at())?;
                self.next += 1;
                Ok(value)
            }
            Some(Token::Word(word)) => {
                Err((self.at(), format!("{word:?} is no value; must be in quotes, like {word:?}")))
            }
            _ => Err((self.at(), "must be a value in quotes, like \"db\"".into())),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<LabelValue>, Wrong> {
        const LIKE: &str = "like {\"a\", \"b\"}";
        if !self.takes("{") {
            return Err((self.at(), format!("must be values in braces, {LIKE}")));
        }
        if self.is_sign(0, "}") {
            return Err((self.at(), format!("there is no value in the braces; must be {LIKE}")));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            if self.takes("}") {
                return Ok(values);
            }
            if !self.takes(",") {
                return Err((self.at(), "must be , or }".into()));
            }
        }
    }
}

/// A key or a value.
fn name<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, at: usize) -> Result<T, Wrong> {
    text.parse().map_err(|error: T::Err| (at, error.to_string()))
}
