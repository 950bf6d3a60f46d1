exception SoldOut {
  1: string article
}

struct Line {
  1: string article,
  2: i32 count,
  3: map<string, list<double>> prices,
}

service Shop {
  string order(1: string customer, 2: list<Line> lines),
  void refuse(1: string customer) throws (1: SoldOut soldOut),
  oneway void forget(1: string customer),
}

// A client may know more than its server.
service NewShop extends Shop {
  i32 nothing(),
}
