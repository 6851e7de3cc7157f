//! The interface's document held against the running program: every route is in it, every call
//! it shows is made, every answer is of the shape it promises.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod documented;
mod page;
mod validator;
