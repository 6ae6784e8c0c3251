"""What turns a request into arguments: who asks, on which page, in which transaction."""
