// Doubly linked list through a member of its items: no allocation, O(1) removal of any item.
#pragma once

#include <cstddef>

#include "dataplane/base/assert.hpp"

namespace pollux {

template <class T>
struct ListLink {
  T* next = nullptr;
  T* previous = nullptr;
  bool linked = false;
};

/// First-in first-out. An item is in at most one list for each link member.
template <class T, ListLink<T> T::*Link>
class IntrusiveList {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] T* front() const noexcept { return head_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  static T* next(const T& item) noexcept { return (item.*Link).next; }
  static bool contains(const T& item) noexcept { return (item.*Link).linked; }

  void push_back(T& item) noexcept {
    ListLink<T>& link = item.*Link;
    POLLUX_ASSERT(!link.linked);
    link = {nullptr, tail_, true};
    if (tail_ != nullptr) {
      (tail_->*Link).next = &item;
    } else {
      head_ = &item;
    }
    tail_ = &item;
    ++size_;
  }
  void remove(T& item) noexcept {
    ListLink<T>& link = item.*Link;
    POLLUX_ASSERT(link.linked);
    if (link.previous != nullptr) {
      (link.previous->*Link).next = link.next;
    } else {
      head_ = link.next;
    }
    if (link.next != nullptr) {
      (link.next->*Link).previous = link.previous;
    } else {
      tail_ = link.previous;
    }
    link = {};
    --size_;
  }
  T* pop_front() noexcept {
    T* item = head_;
    if (item != nullptr) remove(*item);
    return item;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pollux
