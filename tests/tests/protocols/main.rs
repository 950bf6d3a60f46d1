//! Each protocol with the programs that really speak it: the agent first, the agent in the middle of open connections, and
//! bytes missing.

mod amqp;
mod fastcgi;
mod http;
mod mongodb;
mod mqtt;
